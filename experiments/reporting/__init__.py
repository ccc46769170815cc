"""The parts of `experiments/report.py`: what it reads, draws and writes.

::

    finished_run.py   the files of a finished run, checked
    card.py           the protocol card: how a number was reached, as JSON and as text
    figures.py        what a figure is, and its style
    retrieval_figures.py, training_figures.py   the figures
    gallery.py        queries with their first results
    tables.py         sortable tables
    page.py           the HTML page, with `assets/`
"""
