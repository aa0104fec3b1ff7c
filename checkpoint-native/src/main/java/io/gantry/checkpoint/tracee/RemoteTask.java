package io.gantry.checkpoint.tracee;

/** A stopped thread of another process in which system calls can be run. Only its tracer thread may use it. */
public interface RemoteTask {
  /** Process id (thread group) as the host counts. */
  int pid();

  /** Thread id as the host counts. */
  int tid();

  /** A new, empty batch for this task; a stub's takes at least 512 calls and 128 KiB, a captured process's at least 96 calls and 4 KiB. */
  CallBatch newBatch();

  /**
   * Runs all calls in one go and fills in their results.
   *
   * @throws io.gantry.checkpoint.CheckpointException when a required call failed (with call and errno) or the task died
   */
  void run(CallBatch batch);

  /** A batch of one required call. */
  default long call(String what, int number, long... arguments) {
    var batch = newBatch();
    var call = batch.call(what, number, arguments);
    run(batch);
    return call.result();
  }
}
