//! Servers that are away and come back with what they held: who has their keys meanwhile, and what is read after.

mod returns;
mod rig;
mod standby;
mod under_load;
