"""A board as a static site: pages, plots, downloads and a feed, in one folder that is swapped in whole."""
