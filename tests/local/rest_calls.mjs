// Calls of postgrest-js against the local data API; prints each result as JSON by name. No call keeps a change.
import { createClient } from '@supabase/supabase-js';

const db = createClient(process.env.API_URL, process.env.API_KEY);
const change = (query) => query.rollback();

const calls = {
  csv: db.from('clients').select().order('id').csv(),
  single: db.from('clients').select('name').eq('id', 1).single(),
  singleOfTwo: db.from('clients').select().single(),
  maybeSingle: db.from('clients').select().eq('id', 9).maybeSingle(),
  maybeSingleOfTwo: db.from('clients').select().maybeSingle(),
  count: db.from('items').select('*', { count: 'exact', head: true }),
  planned: db.from('items').select('id', { count: 'planned' }).limit(1),
  range: db.from('items').select('id').order('id').range(2, 3),
  stripNulls: db.from('projects').select().eq('id', 5).stripNulls(),
  explain: db.from('clients').select().explain(),
  schema: db.schema('private').from('clients').select(),
  likeAnyOf: db.from('facts').select('id').likeAnyOf('odd name', ['o*', 'x*']),
  ilikeAllOf: db.from('facts').select('id').ilikeAllOf('odd name', ['*O*', 't*']),
  contains: db.from('facts').select('id').contains('doc', { name: 'first' }),
  containedBy: db.from('facts').select('id').containedBy('list', [3, 4, 5]),
  overlaps: db.from('facts').select('id').overlaps('list', [1, 9]),
  rangeGt: db.from('facts').select('id').rangeGt('span', '[1,10)'),
  textSearch: db.from('facts').select('id').textSearch('words', 'cats & rats', { config: 'english' }),
  webSearch: db.from('facts').select('id').textSearch('words', 'cats -rats', { config: 'english', type: 'websearch' }),
  match: db.from('tasks').select('id').match({ project_id: 1, name: 'Code w7' }),
  not: db.from('facts').select('id').not('id', 'in', '(1,2)'),
  or: db.from('facts').select('id').or('id.eq.1,and(id.gt.2,ratio.is.null)').order('id'),
  orInside: db.from('clients').select('projects(id)').eq('id', 1).or('id.eq.2,id.eq.9', { referencedTable: 'projects' }),
  inside: db.from('clients').select('projects(id)').eq('id', 1).order('id', { referencedTable: 'projects' })
    .limit(1, { referencedTable: 'projects' }),
  manyToMany: db.from('users').select('tasks(id)').eq('id', 2).order('id', { referencedTable: 'tasks' }),
  spread: db.from('projects').select('id,...clients(client:name)').eq('id', 1),
  relatedOrder: db.from('projects').select('id,clients(name)').order('clients(name)', { nullsFirst: true }).limit(1),
  aggregate: db.from('facts').select('ratio.sum()'),
  insert: change(db.from('things').insert({ id: 9 }).select('id,kind')),
  insertMany: change(db.from('things').insert([{ id: 8 }, { id: 9, size: 1 }], { defaultToNull: false }).select('kind')),
  insertCount: change(db.from('things').insert([{ id: 8 }, { id: 9 }], { count: 'exact' })),
  upsert: change(db.from('things').upsert({ id: 1, size: 5 }).select('name,size')),
  upsertBy: change(db.from('things').upsert({ name: 'two', size: 7 }, { onConflict: 'name' }).select('id,size')),
  upsertIgnored: change(db.from('things').upsert({ id: 1, name: 'x' }, { ignoreDuplicates: true }).select()),
  update: change(db.from('things').update({ size: 5 }).eq('id', 1).select('size').single()),
  remove: change(db.from('things').delete({ count: 'exact' }).eq('kind', 'plain')),
  maxAffected: db.from('items').delete().lt('id', 15).maxAffected(10),
  duplicate: db.from('things').insert({ id: 1 }),
  rpc: db.rpc('area', { width: 2, height: 3 }),
  rpcGet: db.rpc('area', { side: 3 }, { get: true }),
  rpcHead: db.rpc('projects_named', { part: 'windows' }, { head: true, count: 'exact' }),
  rpcRows: db.rpc('projects_named', { part: 'windows' }).select('id').order('id', { ascending: false }).limit(1),
  rpcLimit: db.rpc('drop_items', { below: 16 }).maxAffected(3),
  rpcUnknown: db.rpc('area', { radius: 1 }),
};

const results = {};
for (const [name, call] of Object.entries(calls)) {
  const { data, count, error, status } = await call;
  results[name] = [status, error ? error.code : data, ...(count === null ? [] : [count])];
}
console.log(JSON.stringify(results));
