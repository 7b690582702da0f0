"""Trains baselines on prepared data sets: those on LightGBM in one go, networks in torch epoch by epoch."""
