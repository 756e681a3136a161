"""The demo: three replicas as three processes, real person records, a cut, and convergence."""
