package io.gantry.checkpoint.memory;

/**
 * A process whose threads are all stopped and in which nothing is run any more: what an injection leaves in its stack for a moment
 * would be taken for the program's own.
 *
 * @param programBreak what {@code brk(0)} returns in it
 */
public record FrozenProcess(ProcessRef process, long programBreak) {}
