"""Where a task goes, over frozen host views: `feasible` may it, `rank` in which order, `reserve` what is left."""
