BEGIN TRANSACTION;
CREATE TABLE answers (
	request_id VARCHAR(64) NOT NULL,
	writer VARCHAR(256) NOT NULL,
	contrast_id VARCHAR(64) NOT NULL,
	prompt_hash TEXT NOT NULL,
	tier TEXT NOT NULL,
	text TEXT NOT NULL,
	turns BIGINT,
	input_tokens BIGINT,
	output_tokens BIGINT,
	seconds DOUBLE,
	cost_usd DOUBLE,
	PRIMARY KEY (request_id, writer),
	FOREIGN KEY(contrast_id) REFERENCES contrasts (id)
);
INSERT INTO "answers" VALUES('request-contrast-619d59cbc998a252e7f2','gpt-5','contrast-619d59cbc998a252e7f2','prompt-1','json','an answer about contrast-619d59cbc998a252e7f2',NULL,NULL,10,NULL,0.5);
INSERT INTO "answers" VALUES('request-contrast-5b964bc86cf779444508','gpt-5','contrast-5b964bc86cf779444508','prompt-1','json','an answer about contrast-5b964bc86cf779444508',NULL,NULL,10,NULL,0.5);
CREATE TABLE brought (
	record_id VARCHAR(64) NOT NULL,
	source VARCHAR(256) NOT NULL,
	at TEXT NOT NULL,
	PRIMARY KEY (record_id, source),
	FOREIGN KEY(source) REFERENCES sources (name)
);
INSERT INTO "brought" VALUES('run-f7abad7d2384dcb69503','import','2026-11-30T12:22:17.600805+00:00');
INSERT INTO "brought" VALUES('run-8d4ad0edc20bcbf4a43d','import','2026-11-30T12:22:17.600805+00:00');
INSERT INTO "brought" VALUES('run-1a7cfc32c1437f07c988','import','2026-11-30T12:22:17.600805+00:00');
INSERT INTO "brought" VALUES('run-0489098d4f3c34108301','import','2026-11-30T12:22:17.600805+00:00');
INSERT INTO "brought" VALUES('c-c7cf5ceb98391f85f273','import','2026-11-30T12:22:17.694739+00:00');
INSERT INTO "brought" VALUES('c-2be560ce6b96a31c8b2c','import','2026-11-30T12:22:17.694739+00:00');
INSERT INTO "brought" VALUES('c-01d73a928673c1a3ddb8','import','2026-11-30T12:22:17.694739+00:00');
INSERT INTO "brought" VALUES('draft-facbd873f5da59049485','import','2026-11-30T12:22:17.746913+00:00');
INSERT INTO "brought" VALUES('draft-db5ba863ae9717e860ea','import','2026-11-30T12:22:17.746913+00:00');
INSERT INTO "brought" VALUES('draft-bf08d7050a21fbbdfaae','import','2026-11-30T12:22:17.746913+00:00');
INSERT INTO "brought" VALUES('draft-929988de948365f809f3','import','2026-11-30T12:22:17.746913+00:00');
INSERT INTO "brought" VALUES('draft-74a83766823d13b18cf4','import','2026-11-30T12:22:17.746913+00:00');
INSERT INTO "brought" VALUES('draft-722188e054d5b7762f46','import','2026-11-30T12:22:17.746913+00:00');
CREATE TABLE caches (
	name VARCHAR(64) NOT NULL,
	"key" VARCHAR(256) NOT NULL,
	content BLOB NOT NULL,
	PRIMARY KEY (name)
);
CREATE TABLE changes (
	sequence INTEGER NOT NULL,
	constraint_id VARCHAR(64) NOT NULL,
	actor TEXT NOT NULL,
	action TEXT NOT NULL,
	reason TEXT,
	"before" TEXT,
	"after" TEXT NOT NULL,
	at TEXT NOT NULL,
	decided BOOLEAN DEFAULT 0 NOT NULL,
	PRIMARY KEY (sequence),
	FOREIGN KEY(constraint_id) REFERENCES constraints (id)
);
INSERT INTO "changes" VALUES(1,'c-01d73a928673c1a3ddb8','import','imported',NULL,NULL,'{"avoid":"that","category":{"name":"mathematics","subcategory":"counting"},"enforce":"this","harness":null,"id":"c-01d73a928673c1a3ddb8","scope":"reasoning","status":"active","support":{"contrasts":0,"families_right":[],"families_wrong":[],"tasks":0},"when":"group0 seats are in a ring"}','2026-11-30T12:22:17.694739+00:00',0);
INSERT INTO "changes" VALUES(2,'c-2be560ce6b96a31c8b2c','import','imported',NULL,NULL,'{"avoid":"that","category":{"name":"mathematics","subcategory":"counting"},"enforce":"this","harness":null,"id":"c-2be560ce6b96a31c8b2c","scope":"reasoning","status":"active","support":{"contrasts":0,"families_right":[],"families_wrong":[],"tasks":0},"when":"only1 one seat is taken"}','2026-11-30T12:22:17.694739+00:00',0);
INSERT INTO "changes" VALUES(3,'c-c7cf5ceb98391f85f273','import','imported',NULL,NULL,'{"avoid":"that","category":{"name":"mathematics","subcategory":"counting"},"enforce":"this","harness":null,"id":"c-c7cf5ceb98391f85f273","scope":"reasoning","status":"active","support":{"contrasts":0,"families_right":[],"families_wrong":[],"tasks":0},"when":"group1 seats are in a ring"}','2026-11-30T12:22:17.694739+00:00',0);
INSERT INTO "changes" VALUES(4,'c-e4267924080704e1385a','import','imported',NULL,NULL,'{"avoid":"that","category":{"name":"mathematics","subcategory":"counting"},"enforce":"this","harness":null,"id":"c-e4267924080704e1385a","scope":"reasoning","status":"retired","support":{"contrasts":0,"families_right":[],"families_wrong":[],"tasks":0},"when":"only0 one seat is taken"}','2026-11-30T12:22:17.694739+00:00',1);
INSERT INTO "changes" VALUES(5,'c-01d73a928673c1a3ddb8','import','supported',NULL,'{"avoid":"that","category":{"name":"mathematics","subcategory":"counting"},"enforce":"this","harness":null,"id":"c-01d73a928673c1a3ddb8","scope":"reasoning","status":"active","support":{"contrasts":0,"families_right":[],"families_wrong":[],"tasks":0},"when":"group0 seats are in a ring"}','{"avoid":"that","category":{"name":"mathematics","subcategory":"counting"},"enforce":"this","harness":null,"id":"c-01d73a928673c1a3ddb8","scope":"reasoning","status":"active","support":{"contrasts":1,"families_right":["gpt"],"families_wrong":["qwen"],"tasks":1},"when":"group0 seats are in a ring"}','2026-11-30T12:22:17.746913+00:00',0);
INSERT INTO "changes" VALUES(6,'c-2be560ce6b96a31c8b2c','import','supported',NULL,'{"avoid":"that","category":{"name":"mathematics","subcategory":"counting"},"enforce":"this","harness":null,"id":"c-2be560ce6b96a31c8b2c","scope":"reasoning","status":"active","support":{"contrasts":0,"families_right":[],"families_wrong":[],"tasks":0},"when":"only1 one seat is taken"}','{"avoid":"that","category":{"name":"mathematics","subcategory":"counting"},"enforce":"this","harness":null,"id":"c-2be560ce6b96a31c8b2c","scope":"reasoning","status":"active","support":{"contrasts":1,"families_right":["gpt"],"families_wrong":["qwen"],"tasks":1},"when":"only1 one seat is taken"}','2026-11-30T12:22:17.746913+00:00',0);
INSERT INTO "changes" VALUES(7,'c-c7cf5ceb98391f85f273','import','supported',NULL,'{"avoid":"that","category":{"name":"mathematics","subcategory":"counting"},"enforce":"this","harness":null,"id":"c-c7cf5ceb98391f85f273","scope":"reasoning","status":"active","support":{"contrasts":0,"families_right":[],"families_wrong":[],"tasks":0},"when":"group1 seats are in a ring"}','{"avoid":"that","category":{"name":"mathematics","subcategory":"counting"},"enforce":"this","harness":null,"id":"c-c7cf5ceb98391f85f273","scope":"reasoning","status":"active","support":{"contrasts":1,"families_right":["gpt"],"families_wrong":["qwen"],"tasks":1},"when":"group1 seats are in a ring"}','2026-11-30T12:22:17.746913+00:00',0);
INSERT INTO "changes" VALUES(8,'c-e4267924080704e1385a','import','supported',NULL,'{"avoid":"that","category":{"name":"mathematics","subcategory":"counting"},"enforce":"this","harness":null,"id":"c-e4267924080704e1385a","scope":"reasoning","status":"retired","support":{"contrasts":0,"families_right":[],"families_wrong":[],"tasks":0},"when":"only0 one seat is taken"}','{"avoid":"that","category":{"name":"mathematics","subcategory":"counting"},"enforce":"this","harness":null,"id":"c-e4267924080704e1385a","scope":"reasoning","status":"retired","support":{"contrasts":1,"families_right":["gpt"],"families_wrong":["qwen"],"tasks":1},"when":"only0 one seat is taken"}','2026-11-30T12:22:17.746913+00:00',1);
CREATE TABLE conflicts (
	first VARCHAR(64) NOT NULL,
	second VARCHAR(64) NOT NULL,
	PRIMARY KEY (first, second),
	FOREIGN KEY(first) REFERENCES constraints (id),
	FOREIGN KEY(second) REFERENCES constraints (id)
);
INSERT INTO "conflicts" VALUES('c-c7cf5ceb98391f85f273','c-e4267924080704e1385a');
INSERT INTO "conflicts" VALUES('c-2be560ce6b96a31c8b2c','c-c7cf5ceb98391f85f273');
INSERT INTO "conflicts" VALUES('c-01d73a928673c1a3ddb8','c-2be560ce6b96a31c8b2c');
CREATE TABLE constraints (
	id VARCHAR(64) NOT NULL,
	"when" TEXT NOT NULL,
	enforce TEXT NOT NULL,
	avoid TEXT NOT NULL,
	category TEXT NOT NULL,
	subcategory TEXT,
	scope TEXT NOT NULL,
	harness TEXT,
	status TEXT NOT NULL,
	support_tasks INTEGER NOT NULL,
	support_contrasts INTEGER NOT NULL,
	families_right TEXT NOT NULL,
	families_wrong TEXT NOT NULL,
	PRIMARY KEY (id)
);
INSERT INTO "constraints" VALUES('c-01d73a928673c1a3ddb8','group0 seats are in a ring','this','that','mathematics','counting','reasoning',NULL,'active',1,1,'["gpt"]','["qwen"]');
INSERT INTO "constraints" VALUES('c-2be560ce6b96a31c8b2c','only1 one seat is taken','this','that','mathematics','counting','reasoning',NULL,'active',1,1,'["gpt"]','["qwen"]');
INSERT INTO "constraints" VALUES('c-c7cf5ceb98391f85f273','group1 seats are in a ring','this','that','mathematics','counting','reasoning',NULL,'active',1,1,'["gpt"]','["qwen"]');
INSERT INTO "constraints" VALUES('c-e4267924080704e1385a','only0 one seat is taken','this','that','mathematics','counting','reasoning',NULL,'retired',1,1,'["gpt"]','["qwen"]');
CREATE TABLE contrasts (
	id VARCHAR(64) NOT NULL,
	task_id VARCHAR(64) NOT NULL,
	kind TEXT NOT NULL,
	preferred VARCHAR(64) NOT NULL,
	other VARCHAR(64) NOT NULL,
	PRIMARY KEY (id),
	FOREIGN KEY(task_id) REFERENCES tasks (id),
	FOREIGN KEY(preferred) REFERENCES trajectories (id),
	FOREIGN KEY(other) REFERENCES trajectories (id)
);
INSERT INTO "contrasts" VALUES('contrast-619d59cbc998a252e7f2','task-8ae213667925fe36ea89','discordant','run-f7abad7d2384dcb69503','run-0489098d4f3c34108301');
INSERT INTO "contrasts" VALUES('contrast-5b964bc86cf779444508','task-c083407ccc8c52c08013','discordant','run-1a7cfc32c1437f07c988','run-8d4ad0edc20bcbf4a43d');
CREATE TABLE counters (
	name VARCHAR(64) NOT NULL,
	value BIGINT NOT NULL,
	PRIMARY KEY (name)
);
INSERT INTO "counters" VALUES('outcomes',4);
CREATE TABLE decisions (
	number INTEGER NOT NULL,
	target VARCHAR(256) NOT NULL,
	value TEXT NOT NULL,
	actor TEXT NOT NULL,
	reason TEXT,
	at TEXT NOT NULL,
	PRIMARY KEY (number)
);
INSERT INTO "decisions" VALUES(1,'import','trusted','bank','first seen','2026-11-30T12:22:17.600805+00:00');
CREATE TABLE drafts (
	id VARCHAR(64) NOT NULL,
	contrast_id VARCHAR(64) NOT NULL,
	"when" TEXT NOT NULL,
	enforce TEXT NOT NULL,
	avoid TEXT NOT NULL,
	scope TEXT NOT NULL,
	writer TEXT NOT NULL,
	prompt_hash TEXT NOT NULL,
	recipe TEXT NOT NULL,
	category TEXT NOT NULL,
	subcategory TEXT,
	harness TEXT,
	refused TEXT,
	refused_detail TEXT,
	constraint_id VARCHAR(64),
	counted BOOLEAN,
	PRIMARY KEY (id),
	FOREIGN KEY(contrast_id) REFERENCES contrasts (id),
	FOREIGN KEY(constraint_id) REFERENCES constraints (id)
);
INSERT INTO "drafts" VALUES('draft-facbd873f5da59049485','contrast-5b964bc86cf779444508','group0 seats are in a ring','this','that','reasoning','gpt-5','prompt-1','default','mathematics','counting','table',NULL,NULL,'c-01d73a928673c1a3ddb8',1);
INSERT INTO "drafts" VALUES('draft-db5ba863ae9717e860ea','contrast-619d59cbc998a252e7f2','there are 1 guests','this','that','reasoning','gpt-5','prompt-1','default','mathematics','counting','table','specifics','7',NULL,NULL);
INSERT INTO "drafts" VALUES('draft-bf08d7050a21fbbdfaae','contrast-5b964bc86cf779444508','there are 0 guests','this','that','reasoning','gpt-5','prompt-1','default','mathematics','counting','table','specifics','7',NULL,NULL);
INSERT INTO "drafts" VALUES('draft-929988de948365f809f3','contrast-619d59cbc998a252e7f2','only1 one seat is taken','this','that','reasoning','gpt-5','prompt-1','default','mathematics','counting','table',NULL,NULL,'c-2be560ce6b96a31c8b2c',1);
INSERT INTO "drafts" VALUES('draft-74a83766823d13b18cf4','contrast-619d59cbc998a252e7f2','group1 seats are in a ring','this','that','reasoning','gpt-5','prompt-1','default','mathematics','counting','table',NULL,NULL,'c-c7cf5ceb98391f85f273',1);
INSERT INTO "drafts" VALUES('draft-722188e054d5b7762f46','contrast-5b964bc86cf779444508','only0 one seat is taken','this','that','reasoning','gpt-5','prompt-1','default','mathematics','counting','table',NULL,NULL,'c-e4267924080704e1385a',1);
CREATE TABLE evidence (
	kind VARCHAR(16) NOT NULL,
	subject TEXT NOT NULL,
	agent TEXT NOT NULL,
	category TEXT NOT NULL,
	coin VARCHAR(16) NOT NULL,
	holdout_millionths INTEGER NOT NULL,
	source VARCHAR(256) NOT NULL,
	family TEXT NOT NULL,
	shown_solved BIGINT NOT NULL,
	shown_failed BIGINT NOT NULL,
	withheld_solved BIGINT NOT NULL,
	withheld_failed BIGINT NOT NULL,
	unjudged BIGINT NOT NULL,
	PRIMARY KEY (kind, subject, agent, category, coin, holdout_millionths, source)
);
INSERT INTO "evidence" VALUES('category','mathematics','smollm2-135m','mathematics','recall',0,'','smollm',1,1,0,0,1);
INSERT INTO "evidence" VALUES('constraint','c-01d73a928673c1a3ddb8','smollm2-135m','mathematics','recall',0,'','smollm',1,1,0,0,1);
INSERT INTO "evidence" VALUES('constraint','c-2be560ce6b96a31c8b2c','smollm2-135m','mathematics','recall',0,'','smollm',1,0,0,0,0);
CREATE TABLE meta (
	name VARCHAR(64) NOT NULL,
	value TEXT NOT NULL,
	PRIMARY KEY (name)
);
INSERT INTO "meta" VALUES('format','memcollab-bank');
INSERT INTO "meta" VALUES('schema','5');
INSERT INTO "meta" VALUES('records','1');
CREATE TABLE open_runs (
	recall_id VARCHAR(64) NOT NULL,
	asked_at TEXT NOT NULL,
	content BLOB NOT NULL,
	PRIMARY KEY (recall_id),
	FOREIGN KEY(recall_id) REFERENCES recalls (id)
);
INSERT INTO "open_runs" VALUES('recall-00000000000000000009','2026-11-25T15:27:37.988084+00:00',X'789C8D52CD4EC3300C7E95C8E70DB5121CE88533CFC0D0645AD385A549153BDBAAAAEF8E53D669FC48A337DBDF8F3F372308F21EAA11844E0215A0F174347373057B1AA0F2C9B915D428D48678AEA715604B5E32B10B0D3965B6BDACEF95B4C3E889593B826F8EB4F38E9D75C3170494CA42BDCE5F468841011524A6A8B83A789945E1D99B5D389A0EFD608E38B0A9D19BD2B48958D8B015833124DF1834B3C993B22504B7ADD1B92CFD7A556F6DB36C7D714466CB826A766D3B4730B2B37ECF3F1547F0D8656A3FC82E781D636C53A7C41C75DCA84C431BA8CC06CA0D4C3ACFB690E9EB12A65B0BE5E1B75DCA9B912EDAFF8BC5F98EB755E7BDB47BA0D8D87AFEC31CDC819AE525701D222DC5476ADA4B1109592FB3BC90C49867FAB452F4BC80ACEF936C25EC29F7CAA258414872DD3BDB90066832E4EE218761D926BEDC0D625223759C6F50FCFE1E3528EB1B52D40BD47F210AD09421DAD666A53E86D300D3272A20029A');
CREATE TABLE outcomes (
	recall_id VARCHAR(64) NOT NULL,
	at TEXT NOT NULL,
	solved BOOLEAN,
	content TEXT NOT NULL,
	PRIMARY KEY (recall_id),
	FOREIGN KEY(recall_id) REFERENCES recalls (id)
);
INSERT INTO "outcomes" VALUES('recall-00000000000000000003','2026-11-25T15:27:38.023812+00:00',1,'{"recall_id":"recall-00000000000000000003","solved":true,"usage":{"turns":null,"input_tokens":null,"output_tokens":null,"seconds":null,"cost_usd":null},"detail":null,"source":""}');
INSERT INTO "outcomes" VALUES('recall-00000000000000000002','2026-11-25T15:27:38.019843+00:00',NULL,'{"recall_id":"recall-00000000000000000002","solved":null,"usage":{"turns":null,"input_tokens":null,"output_tokens":null,"seconds":null,"cost_usd":null},"detail":null,"source":""}');
INSERT INTO "outcomes" VALUES('recall-00000000000000000001','2026-11-25T15:27:38.015896+00:00',0,'{"recall_id":"recall-00000000000000000001","solved":false,"usage":{"turns":null,"input_tokens":null,"output_tokens":null,"seconds":null,"cost_usd":null},"detail":null,"source":""}');
INSERT INTO "outcomes" VALUES('recall-00000000000000000000','2026-11-25T15:27:38.005827+00:00',1,'{"recall_id":"recall-00000000000000000000","solved":true,"usage":{"turns":null,"input_tokens":null,"output_tokens":null,"seconds":null,"cost_usd":null},"detail":null,"source":""}');
CREATE TABLE placements (
	number INTEGER NOT NULL,
	draft_id VARCHAR(64) NOT NULL,
	counted BOOLEAN NOT NULL,
	sequence INTEGER NOT NULL,
	PRIMARY KEY (number),
	FOREIGN KEY(draft_id) REFERENCES drafts (id)
);
INSERT INTO "placements" VALUES(1,'draft-722188e054d5b7762f46',1,8);
INSERT INTO "placements" VALUES(2,'draft-74a83766823d13b18cf4',1,7);
INSERT INTO "placements" VALUES(3,'draft-929988de948365f809f3',1,6);
INSERT INTO "placements" VALUES(4,'draft-facbd873f5da59049485',1,5);
CREATE TABLE recalls (
	id VARCHAR(64) NOT NULL,
	at TEXT NOT NULL,
	content TEXT NOT NULL,
	PRIMARY KEY (id)
);
INSERT INTO "recalls" VALUES('recall-00000000000000000009','2026-11-25T15:27:38.027484+00:00','{"id":"recall-00000000000000000009","task":{"text":"a new task","key":null,"category":null},"agent":{"model":"smollm2-135m","harness":null,"family":"smollm"},"decision":{"guesses":[{"category":{"name":"mathematics","subcategory":"counting"},"probability":0.9}],"method":"classifier"},"entries":[{"constraint":{"when":"group0 seats are in a ring","enforce":"this","avoid":"that","category":{"name":"mathematics","subcategory":"counting"},"scope":"reasoning","harness":null,"status":"active","support":{"tasks":1,"contrasts":1,"families_right":["gpt"],"families_wrong":["qwen"]}},"score":0.5,"parts":{"anchor":0.5},"reason":"alike","shown":true,"holdout":0.0}],"abstained":null,"withheld":false,"holdout":0.0,"paired":false,"left":{},"guidance":"When group0 seats are in a ring, enforce this; avoid that.","guidance_tokens":0,"recipe":"default","bank_sequence":0,"timings":{"embed":0.2}}');
INSERT INTO "recalls" VALUES('recall-00000000000000000003','2026-11-25T15:27:38.023466+00:00','{"id":"recall-00000000000000000003","task":{"text":"a new task","key":null,"category":null},"agent":{"model":"smollm2-135m","harness":null,"family":"smollm"},"decision":{"guesses":[{"category":{"name":"mathematics","subcategory":"counting"},"probability":0.9}],"method":"classifier"},"entries":[],"abstained":"nothing is near","withheld":false,"holdout":0.0,"paired":false,"left":{},"guidance":"","guidance_tokens":0,"recipe":"default","bank_sequence":0,"timings":{"embed":0.2}}');
INSERT INTO "recalls" VALUES('recall-00000000000000000002','2026-11-25T15:27:38.019495+00:00','{"id":"recall-00000000000000000002","task":{"text":"a new task","key":null,"category":null},"agent":{"model":"smollm2-135m","harness":null,"family":"smollm"},"decision":{"guesses":[{"category":{"name":"mathematics","subcategory":"counting"},"probability":0.9}],"method":"classifier"},"entries":[{"constraint":{"when":"group0 seats are in a ring","enforce":"this","avoid":"that","category":{"name":"mathematics","subcategory":"counting"},"scope":"reasoning","harness":null,"status":"active","support":{"tasks":1,"contrasts":1,"families_right":["gpt"],"families_wrong":["qwen"]}},"score":0.5,"parts":{"anchor":0.5},"reason":"alike","shown":true,"holdout":0.0}],"abstained":null,"withheld":false,"holdout":0.0,"paired":false,"left":{},"guidance":"When group0 seats are in a ring, enforce this; avoid that.","guidance_tokens":0,"recipe":"default","bank_sequence":0,"timings":{"embed":0.2}}');
INSERT INTO "recalls" VALUES('recall-00000000000000000001','2026-11-25T15:27:38.015521+00:00','{"id":"recall-00000000000000000001","task":{"text":"a new task","key":null,"category":null},"agent":{"model":"smollm2-135m","harness":null,"family":"smollm"},"decision":{"guesses":[{"category":{"name":"mathematics","subcategory":"counting"},"probability":0.9}],"method":"classifier"},"entries":[{"constraint":{"when":"group0 seats are in a ring","enforce":"this","avoid":"that","category":{"name":"mathematics","subcategory":"counting"},"scope":"reasoning","harness":null,"status":"active","support":{"tasks":1,"contrasts":1,"families_right":["gpt"],"families_wrong":["qwen"]}},"score":0.5,"parts":{"anchor":0.5},"reason":"alike","shown":true,"holdout":0.0}],"abstained":null,"withheld":false,"holdout":0.0,"paired":false,"left":{},"guidance":"When group0 seats are in a ring, enforce this; avoid that.","guidance_tokens":0,"recipe":"default","bank_sequence":0,"timings":{"embed":0.2}}');
INSERT INTO "recalls" VALUES('recall-00000000000000000000','2026-11-25T15:27:38.004980+00:00','{"id":"recall-00000000000000000000","task":{"text":"a new task","key":null,"category":null},"agent":{"model":"smollm2-135m","harness":null,"family":"smollm"},"decision":{"guesses":[{"category":{"name":"mathematics","subcategory":"counting"},"probability":0.9}],"method":"classifier"},"entries":[{"constraint":{"when":"group0 seats are in a ring","enforce":"this","avoid":"that","category":{"name":"mathematics","subcategory":"counting"},"scope":"reasoning","harness":null,"status":"active","support":{"tasks":1,"contrasts":1,"families_right":["gpt"],"families_wrong":["qwen"]}},"score":0.5,"parts":{"anchor":0.5},"reason":"alike","shown":true,"holdout":0.0},{"constraint":{"when":"only1 one seat is taken","enforce":"this","avoid":"that","category":{"name":"mathematics","subcategory":"counting"},"scope":"reasoning","harness":null,"status":"active","support":{"tasks":1,"contrasts":1,"families_right":["gpt"],"families_wrong":["qwen"]}},"score":0.5,"parts":{"anchor":0.5},"reason":"alike","shown":true,"holdout":0.0}],"abstained":null,"withheld":false,"holdout":0.0,"paired":false,"left":{},"guidance":"When group0 seats are in a ring, enforce this; avoid that.\nWhen only1 one seat is taken, enforce this; avoid that.","guidance_tokens":0,"recipe":"default","bank_sequence":0,"timings":{"embed":0.2}}');
CREATE TABLE retracted (
	id VARCHAR(64) NOT NULL,
	PRIMARY KEY (id)
);
CREATE TABLE snapshots (
	name VARCHAR(256) NOT NULL,
	sequence INTEGER NOT NULL,
	at TEXT NOT NULL,
	PRIMARY KEY (name)
);
CREATE TABLE sources (
	name VARCHAR(256) NOT NULL,
	trust TEXT NOT NULL,
	PRIMARY KEY (name)
);
INSERT INTO "sources" VALUES('import','trusted');
CREATE TABLE steps (
	trajectory_id VARCHAR(64) NOT NULL,
	content BLOB NOT NULL,
	PRIMARY KEY (trajectory_id),
	FOREIGN KEY(trajectory_id) REFERENCES trajectories (id)
);
INSERT INTO "steps" VALUES('run-f7abad7d2384dcb69503',X'789C6D8FCF0A83300CC65F25E4AC87C24E5E76DE33A88C4C8B96D5549A1411F1DD574F3AF0F891DFF727F5865D60B5AC58E18B610C0B4CC42B2CB40A74C46060485654409C02C590B80702A58FB74F2C30066FB335898DB817D7B461D6F2013A3AFECA09928813A54C14A821F87747DE0B56F586148734656F56B83539A9B70D56D0A06970CFB8EBF3E1C04B9315D374E4CDAB8E81716FFFCBCDD978B45CCBDED79CBBC972BC6EEE26EFED0F7E836451');
INSERT INTO "steps" VALUES('run-8d4ad0edc20bcbf4a43d',X'789C7590410A83400C45AF12B2D6A2855270D375CF5045A20E2A1D33AD8988C8DCBDE34A0BED32E4E5FD4F1E2BD68ED5B062867786CECD30102F30D32250134302ED644405A457A0D14DDC00815265CD0D231C9D35E1741233A28F8EB6F76CF87CBAC4D70AB4EBF9293B4D22BD28052C4275CE9635592B983D56A4B19D86200813AE79D03526C70C724C73F401EF9BB0D8F0380D13D3B0F95E8B768ED117DF0DD23D714B39869547CFDFDEB23D21F9D5DB171F460B6723');
INSERT INTO "steps" VALUES('run-1a7cfc32c1437f07c988',X'789C6D8F4D0A83400C85AF12B25650E8CA4DD73D834A4975D0A163464C4444E6EE9D5969C1E523DFFB497D60E7590D2B56F86218FD0613F10E1BED021D311430AC465440AC022D7EE51E08943ECE3C31C3C53B13ADAB980543764D1B66CD1FA0A3E5AF9C208958518A4486EABD7B77E49C60551F48CBB04ED11B151E4D4CEA4D831534583618226EFB7848785E46C534A5BC79D7D13386F6BFBC3C1B53CBB5EC7DCDB99B2CE9F5E26E72687F7D5E644F');
INSERT INTO "steps" VALUES('run-0489098d4f3c34108301',X'789C7590410A83400C45AF12B2D6C2144AC14DD73D8316893AA874CCB426222273F78E2B2DB4CB9097F73FC957AC3DAB65C50CEF0C9D9F61205E60A645A0260603ED644505A457A0D14FDC008152E5EC0D131CBDB3F174123B62488EB6F76CF97CBAA4D70AB4EBF9293B4D22BD28452C41F5DE9535392798E52BD2D84E4314C409D722EA1A5B6006059A0243C4FB262E363C3571621A36DF6BD1CE3386C77703B3276E29C7B0F2E8F9DB5BB627985FBDC3E303473A6725');
CREATE TABLE tasks (
	id VARCHAR(64) NOT NULL,
	text TEXT NOT NULL,
	"key" TEXT,
	category TEXT,
	subcategory TEXT,
	PRIMARY KEY (id)
);
INSERT INTO "tasks" VALUES('task-c083407ccc8c52c08013','In how many ways can 0 guests sit around a table?',NULL,'mathematics','counting');
INSERT INTO "tasks" VALUES('task-8ae213667925fe36ea89','In how many ways can 1 guests sit around a table?',NULL,'mathematics','counting');
CREATE TABLE trajectories (
	id VARCHAR(64) NOT NULL,
	task_id VARCHAR(64) NOT NULL,
	model TEXT NOT NULL,
	family TEXT NOT NULL,
	harness TEXT,
	run TEXT,
	solved BOOLEAN,
	score DOUBLE,
	judge TEXT,
	reason TEXT,
	turns BIGINT NOT NULL,
	turns_given BOOLEAN NOT NULL,
	input_tokens BIGINT,
	output_tokens BIGINT,
	seconds DOUBLE,
	cost_usd DOUBLE,
	shown TEXT NOT NULL,
	origin TEXT NOT NULL,
	PRIMARY KEY (id),
	FOREIGN KEY(task_id) REFERENCES tasks (id)
);
INSERT INTO "trajectories" VALUES('run-f7abad7d2384dcb69503','task-8ae213667925fe36ea89','gpt-4','gpt','table','1',1,1.0,NULL,NULL,2,0,100,NULL,1.5,NULL,'["c-00000000000000000000"]','runs.jsonl:1');
INSERT INTO "trajectories" VALUES('run-8d4ad0edc20bcbf4a43d','task-c083407ccc8c52c08013','qwen2.5-7b','qwen','table','1',0,0.0,NULL,NULL,2,0,100,NULL,1.5,NULL,'["c-00000000000000000000"]','runs.jsonl:0');
INSERT INTO "trajectories" VALUES('run-1a7cfc32c1437f07c988','task-c083407ccc8c52c08013','gpt-4','gpt','table','1',1,1.0,NULL,NULL,2,0,100,NULL,1.5,NULL,'["c-00000000000000000000"]','runs.jsonl:0');
INSERT INTO "trajectories" VALUES('run-0489098d4f3c34108301','task-8ae213667925fe36ea89','qwen2.5-7b','qwen','table','1',0,0.0,NULL,NULL,2,0,100,NULL,1.5,NULL,'["c-00000000000000000000"]','runs.jsonl:1');
CREATE TABLE trials (
	constraint_id VARCHAR(64) NOT NULL,
	agent VARCHAR(256) NOT NULL,
	attempt VARCHAR(256) NOT NULL,
	suite TEXT NOT NULL,
	task TEXT NOT NULL,
	seed BIGINT NOT NULL,
	solved_with BOOLEAN NOT NULL,
	solved_without BOOLEAN NOT NULL,
	at TEXT NOT NULL,
	PRIMARY KEY (constraint_id, agent, attempt),
	FOREIGN KEY(constraint_id) REFERENCES constraints (id)
);
CREATE TABLE vectors (
	embedder VARCHAR(256) NOT NULL,
	text_hash VARCHAR(64) NOT NULL,
	vector BLOB NOT NULL,
	PRIMARY KEY (embedder, text_hash)
);
CREATE INDEX ix_decisions_target ON decisions (target);
CREATE INDEX ix_trajectories_task_id ON trajectories (task_id);
CREATE INDEX ix_changes_constraint_id ON changes (constraint_id);
CREATE INDEX ix_brought_source ON brought (source);
CREATE INDEX ix_contrasts_other ON contrasts (other);
CREATE INDEX ix_contrasts_preferred ON contrasts (preferred);
CREATE INDEX ix_contrasts_task_id ON contrasts (task_id);
CREATE INDEX ix_answers_contrast_id ON answers (contrast_id);
CREATE INDEX ix_drafts_contrast_id ON drafts (contrast_id);
CREATE INDEX ix_drafts_constraint_id ON drafts (constraint_id);
CREATE INDEX ix_placements_sequence ON placements (sequence);
CREATE INDEX ix_placements_draft_id ON placements (draft_id);
COMMIT;
