package io.gantry.actors;

import io.gantry.actors.ledger.Ledger;
import io.gantry.actors.link.LinksFactory;
import io.gantry.actors.migration.Rules;
import io.gantry.checkpoint.Engine;
import java.util.function.LongSupplier;

/**
 * Everything outside that a node's actors touch. A simulation replaces all of it; besides this the actors use only their
 * actor system's scheduler.
 *
 * @param engine processes
 * @param pageLinks streams of pages
 * @param ledger opened; the actors close it
 * @param directories of containers
 * @param links to the peers
 * @param blocking where calls that block are made
 * @param ledgerCalls where the ledger's actor makes its own, one at a time
 * @param nowNs a monotonic clock, for durations only
 * @param rules by which moves are decided
 */
public record World(
    Engine engine,
    PageLinks pageLinks,
    Ledger ledger,
    ContainerDirectories directories,
    LinksFactory links,
    BlockingCalls blocking,
    BlockingCalls ledgerCalls,
    LongSupplier nowNs,
    Rules rules) {}
