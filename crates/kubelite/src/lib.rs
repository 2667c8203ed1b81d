//! API server, controllers, scheduler and node agent for one machine.
