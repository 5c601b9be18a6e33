"""One decision for all ranks of a job, from one small SUM all-reduce a step."""
