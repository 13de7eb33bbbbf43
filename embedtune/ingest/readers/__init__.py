"""One reader per format. Each turns the bytes of a file into blocks."""
