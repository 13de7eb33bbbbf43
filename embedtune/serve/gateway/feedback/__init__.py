"""Records which results people choose: the route, the queue behind it, and the files that it becomes."""
