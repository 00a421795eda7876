"""From predictions to judgement: metrics with intervals, comparisons, ensembles and the report."""
