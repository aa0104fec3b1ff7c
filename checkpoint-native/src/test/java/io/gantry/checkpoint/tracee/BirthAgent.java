package io.gantry.checkpoint.tracee;

import io.gantry.checkpoint.ContainerSpec;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/** Another JVM that creates a container and waits to be killed. Arguments: name, host directory, program. */
final class BirthAgent {
  private BirthAgent() {}

  public static void main(String[] arguments) throws InterruptedException {
    var spec = new ContainerSpec(arguments[0], List.of(arguments[2]), Map.of(), Path.of("/"), Path.of(arguments[1]));
    System.out.println("born " + Birth.create(spec, "test").initPid());
    Thread.currentThread().join();
  }
}
