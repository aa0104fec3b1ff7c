package io.gantry.checkpoint.tracee;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.gantry.checkpoint.linux.Errno;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.testing.StubHost;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.RegisterExtension;

/** Threads and processes that run their batches at the same time. Needs root. */
@Timeout(60)
class TogetherTest {
  private static final Duration LIMIT = Duration.ofSeconds(20);

  @RegisterExtension final StubHost box = new StubHost();

  private void withTree(Consumer<StubTree> task) {
    box.tracer().run(
        () -> {
          try (var tree = box.begin()) {
            task.accept(tree);
          }
        },
        LIMIT);
  }

  @Test
  void everyThreadOfAProcessRunsItsOwnBatchWhereverItsLaneIs() {
    withTree(
        tree -> {
          var stub = tree.root();
          var threads = stub.startThreads(IntStream.range(100, 100 + 3 * stub.lanes()).toArray());
          int before = stub.runs();
          var together = new Together(stub.lanes());
          var asked = new ArrayList<CallBatch.Call>();
          var names = new ArrayList<String>();
          var batches = new ArrayList<CallBatch>();
          var places = new ArrayList<Long>();
          for (int i = 0; i < threads.size(); i++) {
            var batch = stub.laneBatch(i % stub.lanes());
            batch.call("prctl(PR_SET_NAME)", SyscallNumber.PRCTL, 15, batch.string("name-" + i));
            asked.add(batch.call("gettid", SyscallNumber.GETTID));
            long place = batch.reserve(16);
            batch.call("prctl(PR_GET_NAME)", SyscallNumber.PRCTL, 16, place);
            places.add(place);
            batches.add(batch);
            names.add("name-" + i);
            together.add(threads.get(i), batch);
          }
          together.finish();
          assertThat(asked.stream().map(call -> (int) call.result())).isEqualTo(threads.stream().map(StubThread::nsTid).toList());
          var found = new ArrayList<String>();
          for (int i = 0; i < threads.size(); i++) {
            found.add(new String(batches.get(i).read(places.get(i), 16), java.nio.charset.StandardCharsets.US_ASCII).split("\0")[0]);
          }
          assertThat(found).isEqualTo(names);
          assertThat(stub.runs() - before).as("times that calls were run").isEqualTo(threads.size());
        });
  }

  @Test
  void whenOneFailsTheOthersStandStillAndCanBeUsed() {
    withTree(
        tree -> {
          var children = new ArrayList<Stub>();
          for (int pid = 20; pid < 26; pid++) {
            children.add(tree.fork(tree.root(), pid));
          }
          var together = new Together(2);
          assertThatThrownBy(
                  () -> {
                    for (var child : children) {
                      var batch = child.newBatch();
                      if (child.nsPid() == 22) {
                        batch.call("closing descriptor 5", SyscallNumber.CLOSE, 5);
                      }
                      batch.call("getpid", SyscallNumber.GETPID);
                      together.add(child, batch);
                    }
                    together.finish();
                  })
              .hasMessageContaining("closing descriptor 5")
              .hasMessageContaining("process 22")
              .hasMessageContaining(Errno.describe(Errno.EBADF));
          assertThat(children.stream().map(child -> (int) child.call("getpid", SyscallNumber.GETPID))).isEqualTo(List.of(20, 21, 22, 23, 24, 25));
        });
  }
}
