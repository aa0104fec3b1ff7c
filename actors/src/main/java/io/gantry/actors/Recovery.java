package io.gantry.actors;

import io.gantry.actors.ledger.LedgerEntry;

/**
 * What a starting agent does with the containers that its ledger names, before any actor takes them over. Blocks; any thread.
 *
 * <pre>
 *   OWNED     thaw (a freeze without RELEASED is undone)   → Container
 *   RELEASED  leave it frozen                              → Outgoing migration, from Activating on
 *   HELD      there: leave it frozen                       → Incoming migration, from Holding on
 *             not there (the host was switched off)        → GONE
 *   ARRIVING  remove what may be left                      → GONE
 * </pre>
 */
final class Recovery {
  /** What is to be done with a container next. */
  enum Next {
    RUN,
    FINISH_OUTGOING,
    FINISH_INCOMING,
    FORGET
  }

  private Recovery() {}

  static Next look(World world, LedgerEntry entry) {
    return switch (entry.status()) {
      case OWNED -> {
        if (entry.handle().isPresent() && world.engine().isAlive(entry.handle().get())) {
          world.engine().thaw(entry.handle().get());
        }
        yield Next.RUN;
      }
      case RELEASED -> Next.FINISH_OUTGOING;
      case HELD -> {
        if (entry.handle().isPresent() && world.engine().isAlive(entry.handle().get())) {
          yield Next.FINISH_INCOMING;
        }
        entry.handle().ifPresent(world.engine()::destroy);
        world.directories().remove(entry.container());
        yield Next.FORGET;
      }
      case ARRIVING -> {
        removeLeftovers(world, entry);
        yield Next.FORGET;
      }
      case GONE -> Next.FORGET;
    };
  }

  /** What was being built here had no handle yet; the engine finds leftovers by the container's name. */
  private static void removeLeftovers(World world, LedgerEntry entry) {
    world.engine().removeLeftovers(entry.container(), world.directories().create(entry.container()));
    world.directories().remove(entry.container());
  }
}
