package io.gantry.checkpoint.tracee;

import io.gantry.checkpoint.ContainerSpec;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/** Another JVM that creates a container and waits to be killed. Arguments: group, name, host directory, program. */
final class BirthAgent {
  private BirthAgent() {}

  public static void main(String[] arguments) throws InterruptedException {
    var spec = new ContainerSpec(arguments[1], List.of(arguments[3]), Map.of(), Path.of("/"), Path.of(arguments[2]));
    System.out.println("born " + Birth.create(spec, arguments[0]).initPid());
    Thread.currentThread().join();
  }
}
