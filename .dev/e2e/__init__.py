"""The end-to-end run: the services' release builds against real servers, real agents and real input.

Each check is a module with `TITLE` and `run(bench)`; `__main__` runs them one after the other and counts.
"""
