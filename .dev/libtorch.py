#!/usr/bin/env python3
"""Puts the CPU libtorch that the crate tch wants into a folder, from PyPI alone.

usage: libtorch.py FOLDER

The wheels are pinned by version and SHA-256, which pip verifies. Nothing is done where the folder already holds this
version, or where LIBTORCH or LIBTORCH_USE_PYTORCH names another one (a GPU's, for instance).
"""
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile

VERSION = "2.13.0"
# libtorch_cpu.so names libcudart and libcupti as needed, so that the loader wants them even where there is no GPU.
WHEELS = f"""\
torch=={VERSION} --hash=sha256:796633c4cdf0fe2cdced72d8f88f22e73dbcfce83132763162f6d4bff13b820b
nvidia-cuda-runtime==13.0.96 --hash=sha256:7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548
nvidia-cuda-cupti==13.0.85 --hash=sha256:4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8
"""
TARGET = ["--python-version", "3.12", "--implementation", "cp", "--platform", "manylinux_2_28_x86_64",
          "--platform", "manylinux_2_25_x86_64", "--platform", "manylinux_2_17_x86_64"]
LIBRARIES = {"torch/lib/libtorch_cpu.so", "torch/lib/libc10.so", "torch/lib/libgomp.so.1",
             "nvidia/cu13/lib/libcudart.so.13", "nvidia/cu13/lib/libcupti.so.13"}


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = pathlib.Path(sys.argv[1])
    for name in ("LIBTORCH_USE_PYTORCH", "LIBTORCH"):
        value = os.environ.get(name)
        if value and pathlib.Path(value).resolve() != folder.resolve():
            print(f"libtorch: {name}={value} is set and is used as it is")
            return
    stamp = folder / "build-version"
    if stamp.is_file() and stamp.read_text().strip() == VERSION:
        print(f"libtorch: {VERSION} is in {folder}/")
        return
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        sys.exit(f"libtorch: no wheel is pinned for {platform.system()} {platform.machine()}; install libtorch {VERSION} "
                 "and export LIBTORCH=its folder, or install torch for Python and export LIBTORCH_USE_PYTORCH=1")
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".libtorch-") as scratch:
        fresh = pathlib.Path(scratch) / "libtorch"
        install(pathlib.Path(scratch), fresh)
        shutil.rmtree(folder, ignore_errors=True)
        fresh.rename(folder)
    print(f"libtorch: {VERSION} is in {folder}/")


def install(scratch, fresh):
    print(f"libtorch: fetching {VERSION} from PyPI (about 540 MB)", flush=True)
    requirements = scratch / "requirements.txt"
    requirements.write_text(WHEELS)
    subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
                    "--only-binary", ":all:", *TARGET, "--require-hashes", "--requirement", requirements,
                    "--dest", scratch], check=True)
    for wheel in sorted(scratch.glob("*.whl")):
        print(f"libtorch: unpacking {wheel.name}", flush=True)
        unpack(wheel, fresh)
    lib = fresh / "lib"
    (lib / "libtorch.so").write_text("INPUT(-ltorch_cpu)\n")
    (lib / "libgomp.so").symlink_to("libgomp.so.1")
    (fresh / "build-version").write_text(VERSION + "\n")


def unpack(wheel, fresh):
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            if member in LIBRARIES:
                place = fresh / "lib" / pathlib.PurePosixPath(member).name
            elif member.startswith("torch/include/") and not member.endswith("/"):
                place = fresh / "include" / member.removeprefix("torch/include/")
            else:
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(member) as source, open(place, "wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)


main()
