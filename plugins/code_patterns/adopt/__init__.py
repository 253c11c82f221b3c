"""Look at an installation of the earlier scripts before this bundle takes it over; nothing is written."""
