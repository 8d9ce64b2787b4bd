"""How fast one worker is, beside a bare loop over the same records and beside stock Faust.

`history` makes the inputs; `bare` and `stock` are the peers, processes of their own; `measure` runs a process
over a preloaded log and reads off its time, CPU and memory; `streams` sets worker and peers to the same log;
`run` does a whole bench and `report` puts the figures together.
"""
