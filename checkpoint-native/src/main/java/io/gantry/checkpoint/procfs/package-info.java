/** Readers of {@code /proc} text and binary forms. No native calls, no decisions; a process that is gone is an empty result or a {@link java.nio.file.NoSuchFileException}, never a half-read record. */
package io.gantry.checkpoint.procfs;
