/** Stop a process, run system calls in it, let it go; safe against the agent's own death. Stubs: empty processes with chosen ids and namespaces. */
package io.gantry.checkpoint.tracee;
