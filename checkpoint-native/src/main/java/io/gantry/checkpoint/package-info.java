/**
 * The engine: capturing a running container and recreating it, in the few nouns and verbs that the actors use.
 *
 * <p>What comes in: a container to be born, adopted, captured or recreated; a {@link io.gantry.checkpoint.PageSink} that
 * carries pages and messages away. What must never come in: networks, actors, clusters, policy about when to freeze.
 *
 * <p>The rooms behind this one: {@code linux} (one class per kernel interface, the only place with native calls),
 * {@code procfs} (readers of {@code /proc}), {@code tracee} (stop a process, run system calls in it, let it go; stubs),
 * {@code memory} (layouts, write tracking, reading and writing pages), {@code state} (registers, credentials, the process
 * tree), {@code resource} (one file per kind of kernel object), {@code image} (the state model and its files).
 */
package io.gantry.checkpoint;
