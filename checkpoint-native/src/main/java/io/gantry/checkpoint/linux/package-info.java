/**
 * One small class per kernel interface. The only place in Gantry with native calls (a test enforces it).
 *
 * <p>Errors are {@link io.gantry.checkpoint.linux.KernelException}s that carry call, arguments and errno. Nothing in here decides
 * anything: no loops over processes, no policy, no retries but {@code EINTR}.
 */
package io.gantry.checkpoint.linux;
