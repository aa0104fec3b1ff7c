package io.gantry.simulation;

import io.gantry.simulation.time.VirtualActorSystem;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;

/** Tests on two nodes on virtual time: fresh ones for each, in one actor system for all of a class. */
abstract class OnTwoNodes {
  private static VirtualActorSystem actors;

  TwoNodes nodes;

  @BeforeAll
  static void open() {
    actors = new VirtualActorSystem();
  }

  @AfterAll
  static void end() {
    actors.close();
  }

  @BeforeEach
  void start() {
    nodes = new TwoNodes(actors);
  }

  @AfterEach
  void stop() {
    nodes.close();
  }
}
