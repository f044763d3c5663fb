"""What the demo and the end-to-end run share: processes, HTTP, and the services as they are started for real."""
