-- The rows of a range are read; the next range needs the cursor's name.
CLOSE proof;
