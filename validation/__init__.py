"""The false-positive study: how often the engine finds something where there is nothing.

`python -m validation` simulates data sets without effects, runs the permutation engine on each, and counts those in
which anything at all is significant at 0.05 familywise. `cells` lists what is simulated, `simulate` does it, `table`
judges the rates and writes docs/validation.md. `random_fields` does all of this for random field theory.
"""
