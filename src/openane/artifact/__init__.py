"""What a compilation yields: the plan of steps with its programs, its form in a file, and the cache of such files."""
