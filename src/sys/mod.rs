//! The operating system: files, symlinks, the state directory, processes, the environment.

pub(crate) mod argv;
pub(crate) mod blocking;
pub mod environment;
pub mod file_watch;
pub(crate) mod hex;
pub mod init;
pub(crate) mod path_resolver;
pub(crate) mod process_group;
pub(crate) mod regular_file;
pub(crate) mod signal_name;
pub mod state_dir;
pub(crate) mod temp_file;
