"""Small services that the rest of the library stands on: logging, events, files, processes."""
