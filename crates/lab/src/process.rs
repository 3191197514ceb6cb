//! Processes and the machine they run on: what they cost, and the ones that an experiment starts.
//!
//! All figures come from `/proc`. CPU time has its grain there, 10 ms: use it over seconds.

mod device;
mod machine;
mod proc;
mod sampler;
mod server;

pub use device::Device;
pub use machine::{Machine, autogroup};
pub use proc::{
    MachineCpu, Memory, Pid, Usage, cpu, cpu_of_others, cpu_of_self, kernel_threads, memory, tree, usage,
};
pub use sampler::{Sample, Sampler};
pub use server::{Probe, Server, Stopped, free_port};
