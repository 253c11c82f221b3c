-- The next rows of the proof's cursor; few, because a row may be large.
FETCH 100 FROM proof;
