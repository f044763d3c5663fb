//! Turns, restarts and bounds of the book.

use super::{entry::STARTS_MAX, *};
use crate::{clock::SystemClock, jobs::BaseState};

fn book() -> Book {
    Book::new(Arc::new(SystemClock))
}

fn hosts(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

/// Ends a piece of work without a new model, where nobody said otherwise.
fn end(book: &Book, work: &Work) {
    if let Step::Host(host) = &work.step {
        book.note(&work.id, host, |progress| {
            if !matches!(progress.state, HostState::Done | HostState::Failed) {
                progress.state = HostState::Failed;
            }
        });
        book.release(host);
    }
    book.settle(&work.id);
}

#[tokio::test]
async fn jobs_take_turns_in_their_order() {
    let book = book();
    let first = book.submit(hosts(&["a"]), Cause::Request).expect("taken");
    let second = book.submit(hosts(&["b"]), Cause::Request).expect("taken");
    assert_eq!(book.next().await.id, first.id);
    assert_eq!(book.get(&second.id).expect("known").state, JobState::Queued);
    assert_eq!(book.next().await.id, second.id);
}

#[tokio::test]
async fn a_job_is_done_when_one_host_was_trained_and_failed_when_none_was() {
    let book = book();
    let job = book
        .submit(hosts(&["a", "b"]), Cause::Request)
        .expect("taken");
    let work = book.next().await;
    book.note(&work.id, "a", |host| {
        host.state = HostState::Done;
        host.share_done = 1.0;
        host.seconds = Some(4.0);
    });
    book.release("a");
    let running = book.get(&job.id).expect("known");
    assert_eq!((running.share_done, running.eta_s), (0.5, Some(4.0)));
    let work = book.next().await;
    assert_eq!(work.step, Step::Host("b".to_owned()));
    end(&book, &work);
    assert_eq!(book.get(&job.id).expect("known").state, JobState::Done);

    let job = book.submit(hosts(&["b"]), Cause::Request).expect("taken");
    let work = book.next().await;
    book.note(&work.id, "b", |host| host.state = HostState::Failed);
    end(&book, &work);
    assert_eq!(book.get(&job.id).expect("known").state, JobState::Failed);
}

#[tokio::test]
async fn a_cancelled_job_says_so_to_its_work_and_stays_cancelled() {
    let book = book();
    let job = book.submit(hosts(&["a"]), Cause::Request).expect("taken");
    let work = book.next().await;
    assert_eq!(
        book.cancel(&job.id).expect("cancelled").state,
        JobState::Cancelled
    );
    assert!(work.cancelled.is_cancelled());
    book.note(&work.id, "a", |host| host.state = HostState::Done);
    end(&book, &work);
    let job = book.get(&job.id).expect("known");
    assert_eq!(
        (job.state, job.hosts[0].state),
        (JobState::Cancelled, HostState::Cancelled)
    );
    assert_eq!(book.cancel(&job.id), Err(CancelError::Ended { id: job.id }));
}

#[tokio::test]
async fn the_queue_and_the_past_are_bounded() {
    let book = book();
    for _ in 0..QUEUE_MAX {
        book.submit(hosts(&["a"]), Cause::Request).expect("taken");
    }
    assert_eq!(
        book.submit(hosts(&["a"]), Cause::Request),
        Err(SubmitError::QueueFull)
    );
    assert_eq!(
        book.submit(Vec::new(), Cause::Request),
        Err(SubmitError::NoHosts)
    );
    for _ in 0..FINISHED_KEPT + 5 {
        let work = book.next().await;
        end(&book, &work);
        book.submit(hosts(&["a"]), Cause::Request).expect("taken");
    }
    assert_eq!(book.list().len(), FINISHED_KEPT + QUEUE_MAX);
}

#[tokio::test]
async fn a_new_host_goes_before_the_rest_of_the_nightly_round() {
    let book = book();
    book.submit(hosts(&["a", "b"]), Cause::Schedule)
        .expect("taken");
    let step = async || book.next().await.step;
    assert_eq!(step().await, Step::Host("a".to_owned()));
    book.submit(hosts(&["asked"]), Cause::Request)
        .expect("taken");
    book.submit(hosts(&["new"]), Cause::NewHost).expect("taken");
    assert_eq!(step().await, Step::Host("new".to_owned()));
    assert_eq!(step().await, Step::Host("asked".to_owned()));
    assert_eq!(step().await, Step::Host("b".to_owned()));
}

#[tokio::test]
async fn the_hosts_of_a_large_job_wait_for_its_base() {
    let book = book();
    let job = book
        .submit(hosts(&["a", "b", "c", "d"]), Cause::Schedule)
        .expect("taken");
    assert_eq!(book.next().await.step, Step::Base(BaseWanted::Any));
    assert!(book.take().is_none());
    book.opened(&job.id);
    assert_eq!(book.next().await.step, Step::Host("a".to_owned()));
}

#[tokio::test]
async fn the_base_is_a_part_of_the_jobs_share_and_measures_the_time_left() {
    let book = book().with_workers(2);
    let job = book
        .submit_all(hosts(&["a", "b", "c", "d"]), Cause::Request)
        .expect("taken");
    assert_eq!(
        job.base.expect("it waits for one").state,
        BaseState::Waiting
    );
    let work = book.next().await;
    let shown = || book.get(&job.id).expect("known");
    book.note_base(&work.id, |base| {
        base.state = BaseState::Reading;
        base.share_done = 0.05;
        base.seconds = Some(1.0);
    });
    // Nothing is known yet of how long a fit takes.
    assert_eq!(shown().eta_s, None);
    book.note_base(&work.id, |base| {
        base.state = BaseState::Fitting;
        base.share_done = 0.5;
        base.seconds = Some(6.0);
    });
    // It takes 1.2 trains of a host, 12 seconds; two rows of two trains, of 10 seconds each, follow.
    let running = shown();
    assert!((running.share_done - 0.6 / 3.2).abs() < 1e-9, "{running:?}");
    let eta_s = running.eta_s.expect("a pass was measured");
    assert!((eta_s - (6.0 + 20.0)).abs() < 1e-9, "{eta_s}");
    book.note_base(&work.id, |base| {
        base.state = BaseState::Done;
        base.share_done = 1.0;
        base.seconds = Some(12.0);
    });
    book.opened(&work.id);
    let work = book.next().await;
    book.note(&work.id, "a", |host| {
        host.state = HostState::Done;
        host.share_done = 1.0;
        host.seconds = Some(4.0);
    });
    // Trains are measured now: three are left, two at a time.
    let running = shown();
    assert!((running.share_done - 1.7 / 3.2).abs() < 1e-9, "{running:?}");
    assert_eq!(running.eta_s, Some(6.0));
}

#[tokio::test]
async fn a_base_that_needs_no_fit_is_no_part_of_the_share_and_ends_with_its_job() {
    let book = book();
    let names = hosts(&["a", "b", "c", "d"]);
    let job = book.submit(names.clone(), Cause::Request).expect("taken");
    let work = book.next().await;
    book.note_base(&work.id, |base| {
        base.state = BaseState::Kept;
        base.share_done = 1.0;
    });
    assert!(book.get(&job.id).expect("known").share_done.abs() < 1e-9);
    book.cancel(&job.id).expect("cancelled");

    let job = book.submit(names, Cause::Request).expect("taken");
    book.next().await;
    let cancelled = book.cancel(&job.id).expect("cancelled");
    assert_eq!(cancelled.base.expect("a base").state, BaseState::Cancelled);
}

#[tokio::test]
async fn a_base_is_fitted_again_after_a_restart_only_where_it_was_not_done() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = || book().kept_in(folder.path().join("jobs.json"));
    let first = open();
    first
        .submit_all(hosts(&["a", "b", "c", "d"]), Cause::Schedule)
        .expect("taken");
    assert_eq!(first.next().await.step, Step::Base(BaseWanted::New));
    drop(first);
    let second = open();
    let work = second.next().await;
    assert_eq!(work.step, Step::Base(BaseWanted::New));
    second.opened(&work.id);
    drop(second);
    assert_eq!(open().next().await.step, Step::Host("a".to_owned()));
}

#[tokio::test]
async fn a_host_whose_train_was_given_back_is_tried_again_however_often_the_service_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = || book().kept_in(folder.path().join("jobs.json"));
    open()
        .submit(hosts(&["a", "b"]), Cause::Schedule)
        .expect("taken");
    for _ in 0..=STARTS_MAX {
        let book = open();
        let work = book.next().await;
        assert_eq!(work.step, Step::Host("a".to_owned()));
        book.give_back(&work);
        assert_eq!(book.load().training, 0);
    }
}

#[tokio::test]
async fn a_job_goes_on_after_a_restart_and_gives_up_what_ends_the_service() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = || book().kept_in(folder.path().join("jobs.json"));
    let first = open();
    let job = first
        .submit(hosts(&["done", "deadly", "last"]), Cause::Schedule)
        .expect("taken");
    let work = first.next().await;
    first.note(&work.id, "done", |host| host.state = HostState::Done);
    first.settle(&work.id);
    assert_eq!(first.next().await.step, Step::Host("deadly".to_owned()));
    drop(first);
    // It was under way: the others go first.
    let second = open();
    assert_eq!(second.next().await.step, Step::Host("last".to_owned()));
    second.note(&job.id, "last", |host| host.state = HostState::Done);
    second.settle(&job.id);
    assert_eq!(second.next().await.step, Step::Host("deadly".to_owned()));
    drop(second);
    let third = open();
    assert!(third.take().is_none());
    let given_up = third.get(&job.id).expect("known");
    assert_eq!(given_up.hosts[0].state, HostState::Failed);
    assert!(given_up.state.is_final());
}

#[tokio::test]
async fn a_host_in_two_jobs_has_its_turns_one_after_the_other() {
    let book = book().with_workers(2);
    let night = book
        .submit(hosts(&["a", "b"]), Cause::Schedule)
        .expect("taken");
    let first = book.next().await;
    assert_eq!(first.step, Step::Host("a".to_owned()));
    let asked = book.submit(hosts(&["a"]), Cause::Request).expect("taken");
    // The second job goes first, but its host is under way; the other worker takes the next one.
    let second = book.next().await;
    assert_eq!(
        (second.id.as_str(), &second.step),
        (night.id.as_str(), &Step::Host("b".to_owned()))
    );
    assert!(book.take().is_none());
    assert_eq!(
        book.load(),
        Load {
            waiting: 1,
            training: 2
        }
    );
    end(&book, &first);
    let third = book.next().await;
    assert_eq!((third.id, third.step), (asked.id, first.step));
}

#[tokio::test]
async fn a_cancelled_train_keeps_its_host_until_it_has_ended() {
    let book = book();
    let job = book.submit(hosts(&["a"]), Cause::Request).expect("taken");
    let work = book.next().await;
    book.cancel(&job.id).expect("cancelled");
    book.submit(hosts(&["a"]), Cause::Request).expect("taken");
    assert!(book.take().is_none());
    end(&book, &work);
    assert_eq!(book.next().await.step, Step::Host("a".to_owned()));
}

#[test]
fn the_jobs_of_a_thousand_hosts_are_a_small_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("jobs.json");
    let names: Vec<String> = (0..1_000)
        .map(|number| format!("web-{number:04}.example.net"))
        .collect();
    let book = book().kept_in(file.clone());
    book.submit(names, Cause::Schedule).expect("taken");
    // It is written whole twice a host: some tens of kilobytes, beside seconds of training.
    let bytes = std::fs::metadata(&file).expect("a file").len();
    assert!(bytes < 64_000, "{bytes} bytes");
}
