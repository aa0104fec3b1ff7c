/**
 * The program people run. What comes in: options, environment, configuration, requests over the control socket. What must never come
 * in: decisions about a migration (they belong to {@code io.gantry.actors}) and kernel calls ({@code io.gantry.checkpoint.linux}).
 *
 * <p>The rooms: {@code cli} (one class per command), {@code control} (the socket between command line and node), {@code daemon} (what
 * lives as long as the node), {@code demo}, {@code bench}, and {@code workload} (the programs that demo and bench move; JDK only).
 */
package io.gantry.node;
