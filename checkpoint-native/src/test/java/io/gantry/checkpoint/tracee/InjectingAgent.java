package io.gantry.checkpoint.tracee;

import io.gantry.checkpoint.linux.SyscallNumber;
import java.io.IOException;
import java.time.Duration;

/** Another JVM that injects calls without pause until it is killed. Arguments: process ids. Begins when it reads a byte. */
final class InjectingAgent {
  private static final Duration LIMIT = Duration.ofSeconds(10);

  private InjectingAgent() {}

  public static void main(String[] pids) throws IOException {
    System.out.println("ready");
    if (System.in.read() < 0) {
      return;
    }
    System.out.println("begun");
    while (true) {
      for (String pid : pids) {
        try (var tree = StoppedTree.stop(Integer.parseInt(pid), LIMIT)) {
          for (var thread : tree.processes().getFirst().threads()) {
            var batch = thread.newBatch();
            var event = batch.call("eventfd2", SyscallNumber.EVENTFD2, 0, 0);
            batch.meanwhile("looking at it", event::result);
            batch.call("close", SyscallNumber.CLOSE, 0).link(0, event);
            batch.call("getpid", SyscallNumber.GETPID);
            thread.run(batch);
          }
        }
      }
    }
  }
}
