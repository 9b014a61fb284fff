"""Attacks on the command line: damaged inputs, folders that were tampered with, and runs that are killed.

`python -m fuzz` changes a small study in one way after another, gives each to the app, and judges what comes of it by
the contract of the command line: a code of the list, a short message that names what is wrong, nothing written
elsewhere, time and memory within bounds, and right numbers where the input is taken. `study` is what is changed, the
modules of `changes` say how, `runner` runs the app in processes of their own, `judge` and `oracle` hold the rules, and
`kills` ends runs in the middle.
"""
