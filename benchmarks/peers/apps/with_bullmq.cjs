// BullMQ: jobs are added by `addBulk`, and go once they have completed; each process runs 50 at a time.
const { Queue, Worker } = require('bullmq');

const connection = { path: process.env.BENCHMARK_SOCKET, maxRetriesPerRequest: null };
const [mode, count, path] = process.argv.slice(2);

async function add() {
  const queue = new Queue('bench', { connection, defaultJobOptions: { removeOnComplete: true } });
  await queue.waitUntilReady();
  const began = performance.now();
  for (let first = 0; first < count; first += 1000) {
    const length = Math.min(1000, count - first);
    const named = (_, i) => ({ name: 'noop', data: { path: path + String(first + i).padStart(6, '0') } });
    await queue.addBulk(Array.from({ length }, named));
  }
  console.log(JSON.stringify({ seconds: (performance.now() - began) / 1000 }));
  await queue.close();
}

if (mode === 'work') new Worker('bench', async () => {}, { connection, concurrency: 50 });
else add();
