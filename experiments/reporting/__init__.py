"""The parts of `experiments/report.py`: what it reads, draws and writes.

::

    finished_run.py   the files of a finished run, checked
    card.py           the protocol card: how a number was reached, as JSON and as text
    figures.py        what a figure is, and its style
    ranking_figures.py, distance_figures.py    the figures of the retrieval
    training_figures.py, code_figures.py       the figures of the network
    gallery.py        queries with their first results
    tables.py         sortable tables
    page.py           the HTML page, with `assets/`
"""
