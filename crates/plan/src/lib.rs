//! (Fleet, Observed, now) to Plan: diff, order, guards, reasons. Owns the words Observed, Plan, Outcome.
