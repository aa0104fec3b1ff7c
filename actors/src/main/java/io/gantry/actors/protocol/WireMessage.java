package io.gantry.actors.protocol;

/** Everything that may leave this JVM as an actor message; bound to Jackson CBOR in {@code reference.conf}. */
public interface WireMessage {}
