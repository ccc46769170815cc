"""Attacks on whatever the package reads: mutated files, killed programs, arbitrary text.

::

    python -m tests.fuzz.campaign --mutations 5000    every file x every reader, in forked processes
    python -m tests.fuzz.kills --kills 200            SIGKILL at random moments, then resume

The quick part runs with the test suite: `test_parsers.py` and `test_corpus.py`.
"""
