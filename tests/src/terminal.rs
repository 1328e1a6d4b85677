//! The console in a terminal of its own: tmux.

use crate::{Node, bin, wait_for};
use std::process::Command;

/// A terminal of its own.
pub struct Terminal {
    socket: String,
}

impl Terminal {
    /// The console before a node, as ana.
    pub fn open(node: &Node, size: (u16, u16)) -> Self {
        let (socket, key) = (node.operator_socket(), node.operator_key());
        Self::run(node, size, &format!("--agent unix:{} --key {}", socket.display(), key.display()))
    }

    /// The console with these arguments; socket and state are in the node's folder.
    pub fn run(node: &Node, size: (u16, u16), args: &str) -> Self {
        let this = Self { socket: node.path("tmux").display().to_string() };
        let program = format!("exec {} {args}", bin("conductor").display());
        let (w, h) = (size.0.to_string(), size.1.to_string());
        let state = format!("XDG_STATE_HOME={}", node.path("state").display());
        this.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            &w,
            "-y",
            &h,
            "-e",
            &state,
            "-e",
            "LC_ALL=C.UTF-8",
            &program,
        ]);
        this
    }

    /// Whether the program in it has ended.
    pub fn has_ended(&self) -> bool {
        let out = Command::new("tmux").arg("-S").arg(&self.socket).arg("has-session").output();
        !out.expect("tmux is installed (make setup)").status.success()
    }

    fn tmux(&self, args: &[&str]) -> String {
        let out = Command::new("tmux").arg("-S").arg(&self.socket).args(args).output();
        let out = out.expect("tmux is installed (make setup)");
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    /// Presses keys, by their names in tmux.
    pub fn press(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    /// What is on the screen now.
    pub fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Waits until this is on the screen; gives the screen.
    pub fn shows(&self, text: &str) -> String {
        wait_for(&format!("{text:?} on the screen"), 20, || {
            let s = self.screen();
            s.contains(text).then_some(s)
        })
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = Command::new("tmux").arg("-S").arg(&self.socket).arg("kill-server").output();
    }
}
