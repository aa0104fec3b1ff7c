package io.gantry.checkpoint;

/**
 * Something that a host has been set to, has installed or was built with, and that a container may have come to rely on.
 *
 * @param name for people and for the configuration, such as {@code vm.overcommit_memory}
 * @param value as the host shows it; empty when the host has no such thing
 * @param fit when a destination's value is as good as the source's
 * @param consequence what a program may notice where it is not, a clause without a full stop
 */
public record HostTrait(String name, String value, Fit fit, String consequence) {
  /** How values are compared. */
  public enum Fit {
    /** They must be the same. */
    EQUAL,
    /** Numbers: the destination's must not be smaller. */
    AT_LEAST,
    /** Words: the destination must have all of the source's. */
    INCLUDES
  }
}
