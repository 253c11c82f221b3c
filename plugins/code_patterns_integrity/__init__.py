"""Tests of a copy of this bundle, for the repository that holds it."""
