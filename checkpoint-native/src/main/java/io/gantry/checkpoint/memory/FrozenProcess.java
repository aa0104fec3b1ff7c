package io.gantry.checkpoint.memory;

import io.gantry.checkpoint.tracee.RemoteTask;

/** A process whose threads are all stopped, with one of them in which system calls can be run (on its tracer thread). */
public record FrozenProcess(ProcessRef process, RemoteTask task) {}
