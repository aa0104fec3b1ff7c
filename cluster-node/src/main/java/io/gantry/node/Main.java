package io.gantry.node;

import io.gantry.node.cli.GantryCommand;

/** Where the jar starts. */
public final class Main {
  private Main() {}

  public static void main(String[] arguments) {
    int status = GantryCommand.execute(arguments);
    System.out.flush();
    System.err.flush();
    System.exit(status);
  }
}
