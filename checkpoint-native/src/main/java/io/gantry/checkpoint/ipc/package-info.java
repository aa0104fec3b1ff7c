/**
 * System V IPC of a container: segments, semaphores and message queues of its ipc namespace, under the ids they had, POSIX message queues, and what processes owe to
 * semaphores. What a segment contains is memory's; here is only that it exists. Knows nothing of descriptors and layouts.
 */
package io.gantry.checkpoint.ipc;
