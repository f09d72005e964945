# Optional parts are found or left out; the summary says which, and how to get them.
